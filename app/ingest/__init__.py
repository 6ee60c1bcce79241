"""Stage 1: authenticates a request, seals its body, stores it durably and answers 200. It cannot decrypt."""
