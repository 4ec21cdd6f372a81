# nomad job run shop.nomad.hcl
job "shop" {
  group "shop" {
    # Starts before the application and runs beside it. Nomad does not wait until the files are written.
    task "secrets-sync" {
      driver = "docker"
      user   = "65532:65532"
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      # Nomad logs in with the identity of this task and keeps the token valid in /secrets/vault_token.
      vault {
        change_mode = "noop"
      }
      config {
        image           = "secrets-sync:0.1.0"
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
      }
      env {
        CONFIG_FILE = "/local/config.yaml"
        STATUS_FILE = "/local/status.json"
      }
      # /alloc is shared by the tasks of a group; /secrets belongs to each task. Other delimiters, because templates of
      # secrets-sync have {{ }}, too.
      template {
        destination     = "local/config.yaml"
        left_delimiter  = "[["
        right_delimiter = "]]"
        change_mode     = "signal"
        change_signal   = "SIGHUP"
        data            = <<EOF
secretStore:
  address: https://vault.example:8200
  authMethod: token
  tokenFile: /secrets/vault_token
  mountPath: secret
  kvVersion: v2
secrets:
  - name: database
    key: app/database
    refreshInterval: 5m
    files:
      - { path: /alloc/files/app.env, mode: "0440", format: dotenv }
EOF
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }

    task "app" {
      driver = "docker"
      user   = "1000:65532"
      config {
        image   = "busybox:1"
        command = "sh"
        args    = ["-c", "until [ -s /alloc/files/app.env ]; do sleep 1; done; cat /alloc/files/app.env; exec sleep 100000"]
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
