// Modules whose custom resource definitions the test cluster installs; nothing of them is built.
module tools/crds

go 1.26

require (
	github.com/prometheus-operator/prometheus-operator v0.92.1
	sigs.k8s.io/gateway-api v1.6.3
)
