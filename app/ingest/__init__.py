"""Stage 1: authenticates a request, seals its body, makes it durable and answers 200. Cannot decrypt."""
