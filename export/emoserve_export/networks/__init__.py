"""The reference networks as PyTorch modules, each with its published parameter names."""
