"""A real Kubernetes of two nodes on one Linux machine, each node in a network namespace of its own.

For tests where no minikube, kind or image registry can be had. Everything it makes lies in `.cluster/`
(certificates, state, logs, pids) and in the cache (binaries, images); `down` leaves nothing running.
"""
