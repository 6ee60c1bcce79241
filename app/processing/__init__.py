"""Stage 3 unseals, decrypts and validates a delivery. It knows neither queues nor SQL."""
