"""What the model is made of."""

FEATURES = ["tenure_months", "monthly_charge", "support_calls"]
