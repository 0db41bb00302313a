"""What a request and an answer are, and how Stripe refuses."""
