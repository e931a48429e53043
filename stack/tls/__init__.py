"""TLS between the services of docker-compose.yaml: a CA of the deployment's own, and a certificate for each server."""
