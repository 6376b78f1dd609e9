{{- define "pgweave.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pgweave.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "pgweave.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "pgweave.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What never changes of a release: a Deployment's selector cannot. */}}
{{- define "pgweave.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pgweave.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pgweave.labels" -}}
{{ include "pgweave.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "pgweave.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "pgweave.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "pgweave.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Where the file comes from: "own", "configmap", "secret", or nothing. */}}
{{- define "pgweave.file" -}}
{{- if .Values.config }}own
{{- else if .Values.existingConfigMap }}configmap
{{- else if .Values.existingConfigSecret }}secret
{{- end }}
{{- end }}

{{/* Exactly one way to know of a server. */}}
{{- define "pgweave.check" -}}
{{- $ways := list }}
{{- range $way := list .Values.config .Values.existingConfigMap .Values.existingConfigSecret .Values.database.existingSecret .Values.database.url }}
{{- if $way }}{{ $ways = append $ways $way }}{{ end }}
{{- end }}
{{- if ne (len $ways) 1 }}
{{- fail "set exactly one of database.existingSecret, database.url, config, existingConfigMap and existingConfigSecret" }}
{{- end }}
{{- range $key, $_ := .Values.settings }}
{{- if has $key (list "listen_addr" "listen_port" "http_listen" "http_token" "log_format" "shutdown_delay" "shutdown_timeout" "reload_on_change" "workers") }}
{{- fail (printf "settings.%s: it has a value of its own in this chart" $key) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A value as a variable: YAML's numbers are floats here, and 1000000 must not become 1e+06. */}}
{{- define "pgweave.written" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "pgweave.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10432
runAsGroup: 10432
fsGroup: 10432
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "pgweave.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}
