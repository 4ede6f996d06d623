"""The API as Kubernetes' clients speak it: paths, JSON and Status objects over HTTPS, in front of the same core as gRPC."""
