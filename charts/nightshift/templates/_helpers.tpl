{{/* The beginning of all names: short enough for what follows it. */}}
{{- define "nightshift.release" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What selects pods: it must never change. Call with (dict "root" $ "component" "..."). */}}
{{- define "nightshift.selector" -}}
app.kubernetes.io/name: nightshift
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
nightshift/pool: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of everything. */}}
{{- define "nightshift.labels" -}}
{{ include "nightshift.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "nightshift.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* How workers and jobs call the coordinator. */}}
{{- define "nightshift.url" -}}
{{- if .Values.coordinator.url -}}
{{ .Values.coordinator.url }}
{{- else -}}
{{ .Values.tls.insecure | ternary "http" "https" }}://{{ include "nightshift.release" . }}-coordinator.{{ .Release.Namespace }}.svc:7070
{{- end -}}
{{- end }}

{{/* A pool with what it leaves out, as YAML. Set by set: merging by functions would take a false or a 0 for left out. */}}
{{- define "nightshift.pool" -}}
{{- $pool := deepCopy .root.Values.poolDefaults -}}
{{- range $key, $value := .pool -}}
{{- if eq $key "scaling" -}}
{{- range $word, $number := $value -}}{{- $_ := set $pool.scaling $word $number -}}{{- end -}}
{{- else -}}
{{- $_ := set $pool $key $value -}}
{{- end -}}
{{- end -}}
{{- $_ := set $pool "slotsOfPod" (int $pool.slots | default (int $pool.gpus) | default 1) -}}
{{- $_ := set $pool "drain" (int (ternary (min (int $pool.drainSeconds) (int $pool.spotDrainSeconds)) $pool.drainSeconds $pool.spot)) -}}
{{ toYaml $pool }}
{{- end }}

{{/* Labels that select this release's coordinator among the numbers of Prometheus; empty where nothing is known of them. */}}
{{- define "nightshift.numbers" -}}
{{- if .Values.keda.selector -}}
{{ .Values.keda.selector }}
{{- else if .Values.monitoring.serviceMonitor -}}
namespace={{ .Release.Namespace | quote }},service="{{ include "nightshift.release" . }}-coordinator"
{{- end -}}
{{- end }}

{{- define "nightshift.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int .Values.security.runAsUser }}
runAsGroup: {{ int .Values.security.runAsGroup }}
fsGroup: {{ int .Values.security.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "nightshift.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Environment of whoever calls the coordinator. */}}
{{- define "nightshift.callerEnv" -}}
- {name: NIGHTSHIFT_COORDINATOR, value: {{ include "nightshift.url" . | quote }}}
{{- if .Values.tls.caConfigMap }}
- {name: NIGHTSHIFT_CA, value: /etc/nightshift/ca/ca.crt}
{{- end }}
{{- end }}

{{- define "nightshift.brokerEnv" -}}
{{- with .Values.broker }}
{{- if .cluster.name }}
- name: BROKER_USER
  valueFrom: {secretKeyRef: {name: {{ .cluster.name }}-default-user, key: username}}
- name: NIGHTSHIFT_BROKER
  value: {{ printf "%s://$(BROKER_USER)@%s.%s.svc/%s" (ternary "amqps" "amqp" .cluster.tls) .cluster.name $.Release.Namespace .cluster.virtualHost | quote }}
{{- else if .url }}
- {name: NIGHTSHIFT_BROKER, value: {{ .url | quote }}}
{{- end }}
{{- if or .cluster.name .url }}
- {name: NIGHTSHIFT_BROKER_PASSWORD_FILE, value: /run/secrets/nightshift/broker/password}
{{- if .caConfigMap }}
- {name: NIGHTSHIFT_BROKER_CA, value: /etc/nightshift/broker-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Mounts that coordinator and workers share: broker and stores. */}}
{{- define "nightshift.sharedMounts" -}}
{{- with .Values.broker }}
{{- if or .cluster.name .url }}
- {name: broker, mountPath: /run/secrets/nightshift/broker, readOnly: true}
{{- if .caConfigMap }}
- {name: broker-ca, mountPath: /etc/nightshift/broker-ca, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $store := .Values.stores }}
{{- if $store.existingSecret }}
- {name: store-{{ $name }}, mountPath: /run/secrets/nightshift/stores/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "nightshift.sharedVolumes" -}}
{{- with .Values.broker }}
{{- if or .cluster.name .url }}
- name: broker
  secret:
    secretName: {{ if .cluster.name }}{{ .cluster.name }}-default-user{{ else }}{{ .existingSecret }}{{ end }}
    items: [{key: {{ if .cluster.name }}password{{ else }}{{ .passwordKey }}{{ end }}, path: password}]
    defaultMode: 0440
{{- if .caConfigMap }}
- name: broker-ca
  configMap: {name: {{ .caConfigMap }}}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $store := .Values.stores }}
{{- if $store.existingSecret }}
- name: store-{{ $name }}
  secret: {secretName: {{ $store.existingSecret }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}

{{/* The section `stores` of the programs' configuration; secrets as the files that are mounted. */}}
{{- define "nightshift.stores" -}}
{{- with .Values.stores }}
stores:
{{- range $name, $store := . }}
  {{ $name }}:
    url: {{ $store.url | quote }}
{{- with $store.options }}
{{ toYaml . | indent 4 }}
{{- end }}
{{- range $field, $key := $store.secretKeys }}
    {{ $field }}: {file: /run/secrets/nightshift/stores/{{ $name }}/{{ $key }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
