# The broker in a container: Node runs the TypeScript sources as they are, so there is no build stage. Data lives in
# /data; the process is not root; the platform learns from /health/ready whether it serves.
FROM node:24-slim

WORKDIR /trivium
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force
COPY src src
COPY protocols protocols
COPY LICENSE README.md ./
RUN mkdir /data && chown node:node /data

USER node
ENV NODE_ENV=production TRIVIUM_DATA_DIR=/data
# Each container is a first start; compiled ahead it takes half the time.
RUN node --max-semi-space-size=8 --expose-gc src/entry.js precompile
VOLUME /data

# AMQP, MQTT, STOMP and their TLS ports; WebSocket; HTTP.
EXPOSE 5672 5671 1883 8883 61613 61614 15674 15673 15672 15671

HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.TRIVIUM_HTTP_PORT ?? 15672}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

# `docker run … trivium start --log-level debug` and `docker run … trivium version` do what they say.
ENTRYPOINT ["node", "--max-semi-space-size=8", "--expose-gc", "src/entry.js"]
CMD ["start"]
