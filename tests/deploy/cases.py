"""Values for the chart: what must come out of it, and what it must refuse."""

# In every secret here; it must not be seen outside of a Secret.
PASSWORD = "hunter2"

FILE = f"""[pgweave]
default_pool_size = 20

[databases."*"]
host = "db.example"

[users.app]
password = "${{APP_PASSWORD}}"
"""

RENDERED = {
    "an existing secret": {"database": {"existingSecret": "shop-database"}},
    "a url": {"database": {"url": f"postgres://app:{PASSWORD}@db.example/shop"}},
    "a file": {"config": FILE, "envFrom": [{"secretRef": {"name": "passwords"}}]},
    "a file that is read again": {"config": FILE, "reloadOnChange": True},
    "a file in a secret of ours": {"existingConfigSecret": "pgweave-toml"},
    "a file in a ConfigMap of ours": {"existingConfigMap": "pgweave-toml", "fullnameOverride": "pooler"},
    "one replica": {"database": {"existingSecret": "a"}, "replicas": 1},
    "everything": {
        "database": {"existingSecret": "a", "existingSecretKey": "url"},
        "image": {"repository": "registry.example/pgweave", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "pull"}],
        "settings": {"default_pool_size": 50, "pool_mode": "transaction", "server_lifetime": "1h",
                     "max_client_conn": 1000000, "log_connections": False},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "shutdown": {"delay": 25, "timeout": 120, "spare": 15},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}, "trafficDistribution": "PreferClose"},
        "ports": {"postgres": 5432, "http": 8080},
        "listenAddress": "0.0.0.0",
        "httpAddress": "[::]",
        "serviceAccount": {"name": "pooler", "annotations": {"a": "b"}},
        "autoscaling": {"enabled": True},
        "metrics": {"tokenSecret": "token", "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
                    "prometheusRule": {"enabled": True}},
        "networkPolicy": {"enabled": True, "clients": [{"namespaceSelector": {}}]},
        "podAnnotations": {"a": "b"}, "podLabels": {"team": "shop"},
        "nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}}, "priorityClassName": "high",
        "extraVolumes": [{"name": "ca", "secret": {"secretName": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
    },
}

# Values, and a word of what is said of them.
REFUSED = {
    "no server": ({}, "exactly one"),
    "two servers": ({"database": {"existingSecret": "a"}, "config": FILE}, "exactly one"),
    "an unknown key": ({"database": {"existingSecret": "a"}, "replicaCount": 3}, "replicaCount"),
    "a wrong type": ({"database": {"existingSecret": "a"}, "replicas": "many"}, "replicas"),
    "a url of another kind": ({"database": {"url": "mysql://a@b/c"}}, "url"),
    "a setting twice": ({"database": {"existingSecret": "a"}, "settings": {"listen_port": 1}}, "listen_port"),
    "a tag for a digest": ({"database": {"existingSecret": "a"}, "image": {"digest": "latest"}}, "digest"),
    "no time to spare": ({"database": {"existingSecret": "a"}, "shutdown": {"spare": 0}}, "spare"),
}
