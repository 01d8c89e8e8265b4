"""What runs inside the servers under test, each in its own virtual environment."""
