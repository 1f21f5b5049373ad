"""What a flow is good for: likelihoods, latents, samples, classes, anomalies, inference."""
