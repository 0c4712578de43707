#!/usr/bin/env python3
"""peer_nginx: nginx with one worker that answers every request with 100 bytes. This program becomes nginx.

nginx cannot choose a free port. So this program listens on one, and hands the socket on as an nginx does that hands over to its
successor: by its number in the variable NGINX. All that nginx writes goes into a directory beside this program.
"""
import os
import socket

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nginx")
BODY = "0123456789" * 10  # as in http.h

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/errors.log error;
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
    default_type text/plain;
    tcp_nodelay on;
    keepalive_timeout 3600;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {address} backlog=4096;
        location / {{
            return 200 "{body}";
        }}
    }}
}}
"""

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(4096)
listener.set_inheritable(True)
address = "127.0.0.1:%d" % listener.getsockname()[1]
os.makedirs(DIRECTORY, exist_ok=True)
configuration = os.path.join(DIRECTORY, "nginx.conf")
with open(configuration, "w") as file:
    file.write(CONFIGURATION.format(directory=DIRECTORY, address=address, body=BODY))
print("listening on " + address, flush=True)
path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
os.environ.update(PATH=path, NGINX="%d;" % listener.fileno())
os.execvp("nginx", ["nginx", "-p", DIRECTORY, "-e", os.path.join(DIRECTORY, "errors.log"), "-c", configuration])
