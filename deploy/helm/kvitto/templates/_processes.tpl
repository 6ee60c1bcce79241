{{/* Every process: its command, its settings, and its secrets as setting: key. Other templates take it from here. */}}
{{- define "kvitto.processes" -}}
{{- $providers := keys .Values.providers | sortAlpha | join "," -}}
{{- $optional := .Values.secrets.optional -}}
ingest:
  command: [ingest]
  settings:
    INGEST_BIND: {{ printf "%s:8080" .Values.listenOn | quote }}
    PROVIDERS: {{ $providers }}
    DRAIN_SECONDS: {{ .Values.ingest.drainSeconds | quote }}
    METRICS_BIND: {{ printf "%s:9400" .Values.listenOn | quote }}
  secrets:
    DATABASE_URL: ingest_database_url
    REDIS_URL: redis_url
    SEALING_KEYS: sealing_keys
    CANARY_SECRET: canary_secret
    {{- range .Values.providers }}
    {{- range .ingestSecrets }}
    {{ upper . }}: {{ . }}
    {{- end }}
    {{- end }}
    {{- include "kvitto.optionalSecrets" (list $optional "redis_sentinel_password" "celery_broker_url" "otel_exporter_otlp_headers") | nindent 4 }}
{{- range $provider, $worker := .Values.providers }}
worker-{{ $provider }}:
  command: [worker, --provider, {{ $provider }}, --concurrency, {{ $worker.concurrency | quote }}]
  settings:
    PROVIDERS: {{ $provider }}
    METRICS_BIND: {{ printf "%s:9400" $.Values.listenOn | quote }}
  secrets:
    DATABASE_URL: worker_database_url
    REDIS_URL: redis_url
    SEALING_KEYS: sealing_keys
    FINGERPRINT_KEY: fingerprint_key
    {{- range $worker.workerSecrets }}
    {{ upper . }}: {{ . }}
    {{- end }}
    {{- include "kvitto.optionalSecrets" (list $optional "redis_sentinel_password" "celery_broker_url" "otel_exporter_otlp_headers") | nindent 4 }}
{{- end }}
beat:
  command: [beat]
  settings:
    PROVIDERS: {{ $providers }}
    INGEST_URL: http://{{ include "kvitto.fullname" . }}-ingest:8080
    METRICS_BIND: {{ printf "%s:9400" .Values.listenOn | quote }}
  secrets:
    REDIS_URL: redis_url
    CANARY_SECRET: canary_secret
    {{- include "kvitto.optionalSecrets" (list $optional "redis_sentinel_password" "celery_broker_url") | nindent 4 }}
console:
  command: [console]
  settings:
    CONSOLE_BIND: {{ printf "%s:8081" .Values.listenOn | quote }}
    PROVIDERS: {{ $providers }}
    METRICS_BIND: {{ printf "%s:9400" .Values.listenOn | quote }}
  secrets:
    DATABASE_URL: console_database_url
    REDIS_URL: redis_url
    CONSOLE_PASSWORD: console_password
    FINGERPRINT_KEY: fingerprint_key
    {{- include "kvitto.optionalSecrets" (list $optional "redis_sentinel_password" "oidc_client_secret") | nindent 4 }}
migrate:
  command: [migrate]
  settings: {}
  secrets:
    DATABASE_URL: migrate_database_url
    ROLE_PASSWORDS: role_passwords
{{- end }}

{{/* Those of the keys that are listed as present: (list present key…). */}}
{{- define "kvitto.optionalSecrets" -}}
{{- $present := first . -}}
{{- range rest . }}
{{- if has . $present }}
{{ upper . }}: {{ . }}
{{- end }}
{{- end }}
{{- end }}
