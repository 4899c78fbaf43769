{{- define "claviger.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "claviger.selector" -}}
app.kubernetes.io/name: claviger
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "claviger.labels" -}}
{{ include "claviger.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "claviger.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "claviger.claim" -}}
accessModes: [{{ if .shared }}ReadWriteMany{{ else }}ReadWriteOnce{{ end }}]
{{- with .storageClass }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}

{{/* What no container of the pod may do. */}}
{{- define "claviger.confined" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
{{- end }}

{{/* Kubernetes shows secrets to the pod's group, and the server takes no key that a group may read: the sidecar copies them
into memory, for the server's user alone, and again when they are renewed. */}}
{{- define "claviger.pod" -}}
metadata:
  labels:
    {{- include "claviger.selector" . | nindent 4 }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "claviger.name" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Longer than the server waits for requests under way: shutdown_seconds of [http].
  terminationGracePeriodSeconds: 45
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    # Otherwise each start would open every file to the group, and the server refuses such a directory.
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  initContainers:
    - name: secrets
      image: {{ include "claviger.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      restartPolicy: Always
      command: ["/bin/sh", "-euc"]
      args:
        - |
          copy() {
            for file in /secrets/*/*; do
              [ -f "$file" ] || continue
              to=/private/${file#/secrets/}
              cmp -s "$file" "$to" && continue
              mkdir -p -m 0700 "${to%/*}"
              install -m 0400 "$file" "$to.new"
              mv "$to.new" "$to"
            done
          }
          copy
          touch /private/.copied
          while sleep 30; do copy; done
      startupProbe:
        exec: {command: ["/usr/bin/test", "-e", "/private/.copied"]}
        periodSeconds: 1
        failureThreshold: 60
      securityContext:
        {{- include "claviger.confined" . | nindent 8 }}
      resources:
        requests: {cpu: 5m, memory: 8Mi}
        limits: {memory: 32Mi}
      volumeMounts:
        - {name: private, mountPath: /private}
        - {name: tls, mountPath: /secrets/tls, readOnly: true}
        {{- if eq .Values.engine "postgresql" }}
        - {name: database, mountPath: /secrets/database, readOnly: true}
        {{- end }}
  containers:
    - name: claviger
      image: {{ include "claviger.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run, --config, /etc/claviger/claviger.toml]
      ports:
        - {name: https, containerPort: 8200}
        {{- if .Values.metrics.enabled }}
        - {name: metrics, containerPort: 9464}
        {{- end }}
      # A sealed vault answers too. A server that is started anew is sealed: only one that takes no connections is.
      startupProbe:
        tcpSocket: {port: https}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        tcpSocket: {port: https}
        periodSeconds: 10
        failureThreshold: 6
      # Ready is what serves and can write.
      readinessProbe:
        httpGet: {path: /v1/sys/health, port: https, scheme: HTTPS}
        periodSeconds: 5
        timeoutSeconds: 4
        failureThreshold: 2
      securityContext:
        {{- include "claviger.confined" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/claviger, readOnly: true}
        - {name: private, mountPath: /private, readOnly: true}
        - {name: store, mountPath: /var/lib/claviger}
        - {name: files, mountPath: /var/lib/claviger-files}
        {{- if .Values.escrow.recipients }}
        - {name: escrow, mountPath: /var/lib/claviger-escrow}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "claviger.name" . }}}
    - name: private
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    - name: tls
      secret: {secretName: {{ .Values.tls.secret | quote }}, defaultMode: 0440}
    {{- if eq .Values.engine "postgresql" }}
    - name: database
      secret: {secretName: {{ .Values.postgresql.secret | quote }}, defaultMode: 0440}
    # The database has the store; what is here is empty.
    - name: store
      emptyDir: {sizeLimit: 16Mi}
    - name: files
      persistentVolumeClaim: {claimName: {{ include "claviger.name" . }}-files}
    {{- if .Values.escrow.recipients }}
    - name: escrow
      persistentVolumeClaim: {claimName: {{ include "claviger.name" . }}-escrow}
    {{- end }}
    {{- end }}
{{- end }}
