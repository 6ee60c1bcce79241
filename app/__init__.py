"""Kvitto receives a lender's webhooks. Every 200 that it answers is a receipt."""
