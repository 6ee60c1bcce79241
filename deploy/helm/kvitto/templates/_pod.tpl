{{- define "kvitto.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{/* What selects all pods of a release. */}}
{{- define "kvitto.release" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What selects the pods of a process: (list root component). */}}
{{- define "kvitto.selector" -}}
{{ include "kvitto.release" (first .) }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "kvitto.labels" -}}
{{ include "kvitto.selector" . }}
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
helm.sh/chart: {{ (first .).Chart.Name }}-{{ (first .).Chart.Version }}
{{- end }}

{{- define "kvitto.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{/*
The spec of a pod with one process.

root: the root context. process: a key of kvitto.processes. account: name of the ServiceAccount.
resources: of the container. more: more fields of the container. command: instead of the process's own.
*/}}
{{- define "kvitto.pod" -}}
{{- $values := .root.Values -}}
{{- $process := index (include "kvitto.processes" .root | fromYaml) .process -}}
{{- $folder := "/run/secrets/kvitto" -}}
{{- $keys := values $process.secrets | sortAlpha -}}
{{- $authority := has "ca_file" $values.secrets.optional -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
shareProcessNamespace: true  # the pod has an init, which reaps what a killed process leaves behind
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with $values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.scheduling }}
{{ toYaml . }}
{{- end }}
containers:
  - name: kvitto
    image: {{ include "kvitto.image" (mergeOverwrite (dict) $values.image (dict "tag" ($values.image.tag | default .root.Chart.AppVersion))) }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args: {{ .command | default $process.command | toJson }}
    env:
      {{- range $name, $value := mergeOverwrite (dict) $values.settings $process.settings }}
      - {name: {{ $name }}, value: {{ $value | quote }}}
      {{- end }}
      {{- range $name, $key := $process.secrets }}
      - {name: {{ $name }}_FILE, value: {{ $folder }}/{{ $key }}}
      {{- end }}
      {{- if $authority }}
      - {name: CA_FILE, value: {{ $folder }}/ca_file}
      {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    resources: {{ toYaml .resources | nindent 6 }}
    {{- with .more }}
    {{- . | nindent 4 }}
    {{- end }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: secrets, mountPath: {{ $folder }}, readOnly: true}
volumes:
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  - name: secrets
    projected:
      defaultMode: 256  # 0400; Kubernetes adds the pod's group
      sources:
        {{- range ternary (append $keys "ca_file") $keys $authority }}
        {{- $source := include "kvitto.secret" (list $.root .) | fromYaml }}
        - secret:
            name: {{ $source.name }}
            items: [{key: {{ $source.key }}, path: {{ . }}}]
        {{- end }}
{{- end }}

{{/* Where the value of a key is, as name and key of a Secret: (list root key). */}}
{{- define "kvitto.secret" -}}
{{- $secrets := (first .).Values.secrets -}}
{{- index $secrets.from (last .) | default (dict "name" $secrets.name "key" (last .)) | toYaml -}}
{{- end }}

{{/* Spread the pods of a process over nodes and zones: (list root component). */}}
{{- define "kvitto.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "kvitto.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
