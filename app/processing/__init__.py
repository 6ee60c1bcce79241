"""Stage 3: a delivery is unsealed, decrypted and validated. Knows neither queues nor SQL."""
