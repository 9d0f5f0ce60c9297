// Loaded before an SDK: whatever asks for WeChat by name ends at the simulator's TLS port, as /etc/hosts and a port
// forward would have it. Names, certificates and the SDKs' own code stay as they are.
const tls = require("tls");

const HOSTS = new Set(process.env.WECHAT_HOSTS.split(" "));
const connect = tls.connect;

tls.connect = (options, ...rest) =>
  typeof options === "object" && HOSTS.has(options.host)
    ? connect({ ...options, host: "127.0.0.1", port: Number(process.env.SIMULATOR_PORT), servername: options.host }, ...rest)
    : connect(options, ...rest);
