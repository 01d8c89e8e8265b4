"""TensorRT: engines from published ONNX graphs, on the GPU that will run them.

Nothing here needs torch or onnx, so it runs in NVIDIA's TensorRT container over a repository that
was exported elsewhere: `emoserve export --target tensorrt`.
"""
