"""Kvitto: receives a lender's webhooks; every 200 it answers is a receipt."""
