{{- define "heart-disease-api.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- /* The name of an object that has a suffix, in at most so many characters: (list . "retrain" 52). What would be longer ends with
a hash of its name, so that no two are the same. */}}
{{- define "heart-disease-api.nameOf" -}}
{{- $fullname := include "heart-disease-api.fullname" (first .) -}}
{{- $most := sub (last .) (add1 (len (index . 1))) | int -}}
{{- if gt (len $fullname) $most -}}
{{- $fullname = printf "%s-%s" (trunc (int (sub $most 7)) $fullname | trimSuffix "-") (sha256sum $fullname | trunc 6) -}}
{{- end -}}
{{- $fullname }}-{{ index . 1 }}
{{- end }}

{{- /* A value as the text of a variable or an annotation. YAML has numbers as floats, which Go writes as 4.194304e+06. */}}
{{- define "heart-disease-api.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end -}}
{{- end }}

{{- /* A map of the chart's own texts and one of the user's, as YAML; the user's win: (list OWN USER). */}}
{{- define "heart-disease-api.texts" -}}
{{- $texts := first . | fromYaml -}}
{{- range $name, $value := last . }}{{ $_ := set $texts $name (include "heart-disease-api.text" $value) }}{{ end -}}
{{- range $name, $value := $texts }}
{{ $name | quote }}: {{ include "heart-disease-api.text" $value | quote }}
{{- end }}
{{- end }}

{{- /* What every object's metadata has: (dict "root" . ...), where `name` and `namespace` are others than the release's, `labels` are others than the
API's, `moreLabels` and `annotations` are the user's, and `keep` objects stay when the release is removed. */}}
{{- define "heart-disease-api.metadata" -}}
{{- $root := .root -}}
name: {{ .name | default (include "heart-disease-api.fullname" $root) | quote }}
{{- if not .clusterWide }}
namespace: {{ .namespace | default $root.Release.Namespace | quote }}
{{- end }}
labels:
  {{- include "heart-disease-api.texts" (list (.labels | default (include "heart-disease-api.labels" $root)) .moreLabels) | nindent 2 }}
{{- $own := dict }}
{{- if .keep }}{{ $_ := set $own "helm.sh/resource-policy" "keep" }}{{ end }}
{{- $annotations := merge $own (.annotations | default dict) ($root.Values.commonAnnotations | default dict) }}
{{- with $annotations }}
annotations:
  {{- include "heart-disease-api.texts" (list "{}" .) | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Labels that never change in a release's life; pods of helm test do not carry them. */}}
{{- define "heart-disease-api.selectorLabels" -}}
app: heart-disease-api
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- /* What finds the pods or the Service of another part: (list . "retrain"). The selector of a Deployment can never change, so that a
name is in it only where another part of the same release could have the same labels, under another alias. */}}
{{- define "heart-disease-api.partLabels" -}}
{{- $own := include "heart-disease-api.selectorLabels" (first .) | fromYaml -}}
app: heart-disease-api-{{ last . }}
app.kubernetes.io/instance: {{ get $own "app.kubernetes.io/instance" | quote }}
{{- with get $own "app.kubernetes.io/name" }}
{{- if ne . "heart-disease-api" }}
app.kubernetes.io/name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "heart-disease-api.chartLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: heart-disease-api
{{- end }}

{{- define "heart-disease-api.ownLabels" -}}
{{ include "heart-disease-api.selectorLabels" . }}
{{ include "heart-disease-api.chartLabels" . }}
{{- end }}

{{- define "heart-disease-api.commonLabels" -}}
{{ include "heart-disease-api.chartLabels" . }}
{{- range $name, $value := .Values.commonLabels }}
{{ $name | quote }}: {{ include "heart-disease-api.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "heart-disease-api.labels" -}}
{{ include "heart-disease-api.selectorLabels" . }}
{{ include "heart-disease-api.commonLabels" . }}
{{- end }}

{{- /* Whether outcomes are kept in SQLite, on a volume that one pod has. */}}
{{- define "heart-disease-api.sqlite" -}}
{{- if and .Values.feedback.enabled (not .Values.feedback.databaseSecret) }}true{{ end -}}
{{- end }}

{{- /* The data of a Secret that the chart makes once and takes over in every upgrade, or nothing: (list . NAME VALUE ITEM). Without the
cluster nobody knows whether it is there, and each rendering would make another: then VALUE must name one. Whoever installs into a
namespace that is yet to be made may see others. */}}
{{- define "heart-disease-api.madeOnce" -}}
{{- $root := first . -}}
{{- $secret := lookup "v1" "Secret" $root.Release.Namespace (index . 1) -}}
{{- if $secret }}{{ toYaml $secret.data -}}
{{- else if not (or (lookup "v1" "ServiceAccount" $root.Release.Namespace "default") (lookup "v1" "Namespace" "" "default")) -}}
{{- $make := printf "kubectl create secret generic %s --namespace %s --from-literal=%s=$(openssl rand -hex 32)" (index . 1) $root.Release.Namespace (last .) -}}
{{- fail (printf "%s: rendered without the cluster the chart would make another Secret each time; make one and set its name here: %s" (index . 2) $make) -}}
{{- end -}}
{{- end }}

{{- define "heart-disease-api.keysSecret" -}}
{{- default (printf "%s-feedback-keys" (include "heart-disease-api.fullname" .)) .Values.feedback.keysSecret -}}
{{- end }}

{{- /* The Secret with the token that clients send with outcomes; empty where none is asked for. */}}
{{- define "heart-disease-api.tokenSecret" -}}
{{- if and .Values.feedback.enabled (not .Values.feedback.anonymous) -}}
{{- default (printf "%s-feedback-token" (include "heart-disease-api.fullname" .)) .Values.feedback.tokenSecret -}}
{{- end -}}
{{- end }}

{{- define "heart-disease-api.saltSecret" -}}
{{- default (printf "%s-canary-salt" (include "heart-disease-api.fullname" .)) .Values.candidate.saltSecret -}}
{{- end }}

{{- /* What stays in the cluster when the release is removed, as arguments of kubectl. */}}
{{- define "heart-disease-api.kept" -}}
{{- $kept := list }}
{{- if and .Values.feedback.enabled (not .Values.feedback.keysSecret) }}
{{- $kept = append $kept (printf "secret/%s" (include "heart-disease-api.keysSecret" .)) }}
{{- end }}
{{- if and (include "heart-disease-api.tokenSecret" .) (not .Values.feedback.tokenSecret) }}
{{- $kept = append $kept (printf "secret/%s" (include "heart-disease-api.tokenSecret" .)) }}
{{- end }}
{{- if include "heart-disease-api.sqlite" . }}
{{- $kept = append $kept (printf "persistentvolumeclaim/%s-outcomes" (include "heart-disease-api.fullname" .)) }}
{{- end }}
{{- if and .Values.candidate.version (not .Values.candidate.saltSecret) }}
{{- $kept = append $kept (printf "secret/%s" (include "heart-disease-api.saltSecret" .)) }}
{{- end }}
{{- join " " $kept -}}
{{- end }}

{{- /* Where clients reach the API from outside, without a slash at the end; empty where no value says so. */}}
{{- define "heart-disease-api.publicUrl" -}}
{{- $hosts := list }}
{{- range .Values.httpRoute.hostnames }}
{{- if not (hasPrefix "*" .) }}{{ $hosts = append $hosts . }}{{ end }}
{{- end }}
{{- $encrypted := not (empty .Values.ingress.tlsSecretName) }}
{{- range .Values.ingress.extraTls }}
{{- if has $.Values.ingress.host (.hosts | default list) }}{{ $encrypted = true }}{{ end }}
{{- end }}
{{- if .Values.publicUrl -}}
{{- .Values.publicUrl | trimSuffix "/" -}}
{{- else if and .Values.ingress.enabled (not (hasPrefix "*" .Values.ingress.host)) -}}
{{- ternary "https" "http" $encrypted }}://{{ .Values.ingress.host }}{{ .Values.server.rootPath -}}
{{- else if and .Values.httpRoute.enabled $hosts -}}
{{- $schemes := list "http" }}
{{- range .Values.httpRoute.parentRefs }}
{{- if or (eq (int .port) 443) (hasPrefix "https" (default "" .sectionName)) }}{{ $schemes = list "https" }}{{ end }}
{{- end }}
{{- first $schemes }}://{{ first $hosts }}{{ .Values.server.rootPath -}}
{{- end -}}
{{- end }}

{{- define "heart-disease-api.containerSecurity" -}}
{{- toYaml .Values.securityContext -}}
{{- end }}

{{- /* A pod's security: with a volume to be read or written by its group, or without: (list . true). */}}
{{- define "heart-disease-api.podSecurity" -}}
{{- $context := (first .).Values.podSecurityContext -}}
{{- if not (last .) }}{{ $context = omit $context "fsGroup" "fsGroupChangePolicy" }}{{ end -}}
{{- toYaml $context -}}
{{- end }}

{{- define "heart-disease-api.ownPrometheus" -}}
{{- range .Values.extraEnv }}{{ if eq .name "PROMETHEUS_URL" }}true{{ end }}{{ end }}
{{- end }}

{{- define "heart-disease-api.prometheusPort" -}}
{{- $url := urlParse .Values.console.prometheusUrl }}
{{- $named := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $usual := get (dict "http" "80" "https" "443") $url.scheme | default "9090" }}
{{- .Values.console.prometheusPort | default $named | default $usual }}
{{- end }}

{{- define "heart-disease-api.asksPrometheus" -}}
{{- if and .Values.console.enabled (or .Values.console.prometheusUrl (include "heart-disease-api.ownPrometheus" .)) }}true{{ end }}
{{- end }}

{{- /* An image by its parts: a digest, where there is one, is what is run. */}}
{{- define "heart-disease-api.image" -}}
{{- $registry := .Values.image.registry | default (dig "imageRegistry" "" (.Values.global | default dict)) -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end -}}
{{- end }}

{{- /* An image of another value, from the registry of all images: (list . IMAGE). */}}
{{- define "heart-disease-api.fromRegistry" -}}
{{- list (dig "imageRegistry" "" ((first .).Values.global | default dict) | trimSuffix "/") (last .) | compact | join "/" -}}
{{- end }}

{{- /* The port that an address names, or that its scheme has. */}}
{{- define "heart-disease-api.portOf" -}}
{{- $uri := urlParse . -}}
{{- regexFind ":[0-9]+$" $uri.host | trimPrefix ":" | default (ternary "443" "80" (eq $uri.scheme "https")) -}}
{{- end }}

{{- /* The MLflow server that retraining asks, and the Secret for it: never one server's Secret for another. */}}
{{- define "heart-disease-api.retrainMlflow" -}}
{{- if .Values.retrain.mlflowTrackingUri -}}
uri: {{ .Values.retrain.mlflowTrackingUri | quote }}
secret: {{ .Values.retrain.mlflowSecret | quote }}
{{- else if .Values.model.mlflow.trackingUri -}}
uri: {{ .Values.model.mlflow.trackingUri | quote }}
secret: {{ .Values.model.mlflow.existingSecret | quote }}
{{- end -}}
{{- end }}

{{- define "heart-disease-api.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (.Values.imagePullSecrets | default list) (dig "imagePullSecrets" (list) (.Values.global | default dict)) }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with uniq $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* On which nodes each pod of the release may run: an image may be for one architecture. */}}
{{- define "heart-disease-api.nodes" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- include "heart-disease-api.texts" (list "{}" .) | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "heart-disease-api.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "heart-disease-api.fullname" .) "default") -}}
{{- end }}
