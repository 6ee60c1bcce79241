"""The providers' APIs as the sandbox serves them."""
