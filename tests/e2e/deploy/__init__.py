"""What production is made of: image, compose file, balancer."""
