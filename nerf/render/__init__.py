"""From parameters to pictures, and what they are worth."""
