"""Scenes from disk or from formulas, and batches of their pixels; imports nothing heavy."""
