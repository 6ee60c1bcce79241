"""What is installed from the package index: minutes of downloads."""
