// The calls of each SDK under one set of names, so that the same tests can run over all of them.
const zlib = require("zlib");

function text(body) {
  return Buffer.isBuffer(body) ? body.toString("utf8") : body;
}

function tenpay(known) {
  const Tenpay = require("tenpay");
  const config = {
    appid: known.appid,
    mchid: known.mchid,
    partnerKey: known.api_v2_key,
    pfx: Buffer.from(known.pfx, "base64"),
    notify_url: known.notify_url,
    refund_url: known.notify_url,
  };
  const pay = new Tenpay(config);
  const stranger = new Tenpay({ ...config, partnerKey: "0".repeat(32) });
  const heard = (type) => async (body) => {
    const request = { body };
    let refused = "";
    await pay.middlewareForExpress(type)(request, { header() {}, send: (reply) => (refused = reply) }, () => {});
    if (!request.weixin) throw new Error(refused);
    return request.weixin;
  };
  return {
    create: (order) => pay.unifiedOrder(order),
    create_with_wrong_key: (order) => stranger.unifiedOrder(order),
    pay_params: (order, kind) => pay.getPayParamsByPrepay(order, kind),
    app_params: (order) => pay.getAppParamsByPrepay(order),
    query: (order) => pay.orderQuery(order),
    close: (order) => pay.closeOrder(order),
    refund: (refund) => pay.refund(refund),
    query_refund: (refund) => pay.refundQuery(refund),
    bill: (asked) => pay.downloadBill(asked, true),
    fund_flow: (asked) => pay.downloadFundflow(asked, true),
    payment_news: heard("pay"),
    refund_news: heard("refund"),
  };
}

function nodeV3(known) {
  const Pay = require("wechatpay-node-v3");
  const config = {
    appid: known.appid,
    mchid: known.mchid,
    publicKey: Buffer.from(known.merchant_cert_pem),
    privateKey: Buffer.from(known.merchant_private_key_pem),
    key: known.api_v3_key,
  };
  const pay = new Pay(config);
  const stranger = new Pay({ ...config, serial_no: "0".repeat(40) });
  const bill = async (announced) => {
    const { status, data } = await pay.downloadBill(announced.download_url);
    return { status, text: text(data) };
  };
  return {
    create: (order) => pay.transactions_jsapi(order),
    create_native: (order) => pay.transactions_native(order),
    create_h5: (order) => pay.transactions_h5(order),
    create_app: (order) => pay.transactions_app(order),
    create_with_wrong_serial: (order) => stranger.transactions_jsapi(order),
    query: (order) => pay.query(order),
    close: (number) => pay.close(number),
    refund: (refund) => pay.refunds(refund),
    query_refund: (number) => pay.find_refunds(number),
    announce_bill: (asked) => pay.tradebill(asked),
    announce_fund_flow: (asked) => pay.fundflowbill(asked),
    bill,
    certificates: () => pay.get_certificates(known.api_v3_key),
    believes: (message) => pay.verifySign({ ...message, apiSecret: known.api_v3_key }),
    open: ({ ciphertext, associated_data, nonce }) => pay.decipher_gcm(ciphertext, associated_data, nonce),
  };
}

function axiosPlugin(known) {
  const { Wechatpay, Formatter, Rsa, Aes, Hash, Transformer } = require("wechatpay-axios-plugin");
  const config = {
    mchid: known.mchid,
    serial: known.merchant_serial_no,
    privateKey: known.merchant_private_key_pem,
    certs: { [known.platform_serial_no]: known.platform_cert_pem, [known.public_key_id]: known.public_key_pem },
    secret: known.api_v2_key,
    merchant: { cert: known.merchant_cert_pem, key: known.merchant_private_key_pem },
  };
  const pay = new Wechatpay({ ...config });
  const stranger = new Wechatpay({ ...config, secret: "0".repeat(32) });
  const data = (answer) => answer.data;
  const status = (answer) => answer.status;
  const v2 = (path, more) => (fields) => pay.chain(path).post({ appid: known.appid, mch_id: known.mchid, ...fields }, more).then(data);
  return {
    v2_create: v2("v2/pay/unifiedorder"),
    v2_create_with_wrong_key: (fields) =>
      stranger.chain("v2/pay/unifiedorder").post({ appid: known.appid, mch_id: known.mchid, ...fields }).then(data),
    v2_query: v2("v2/pay/orderquery"),
    v2_close: v2("v2/pay/closeorder"),
    v2_refund: v2("v2/secapi/pay/refund", { security: true }),
    v2_query_refund: v2("v2/pay/refundquery"),
    v2_bill: v2("v2/pay/downloadbill", { transformResponse: [] }),
    v2_fields: (body) => Transformer.toObject(body),
    v2_sign: (fields) => Hash.sign("MD5", fields, known.api_v2_key),
    v2_open: (sealed) => Transformer.toObject(Aes.AesEcb.decrypt(sealed, Hash.md5(known.api_v2_key))),
    create: (order) => pay.v3.pay.transactions.jsapi.post(order).then(data),
    create_native: (order) => pay.v3.pay.transactions.native.post(order).then(data),
    create_h5: (order) => pay.v3.pay.transactions.h5.post(order).then(data),
    create_app: (order) => pay.v3.pay.transactions.app.post(order).then(data),
    query: (out_trade_no) =>
      pay.v3.pay.transactions.outTradeNo.$out_trade_no$.get({ params: { mchid: known.mchid }, out_trade_no }).then(data),
    close: (out_trade_no) =>
      pay.v3.pay.transactions.outTradeNo.$out_trade_no$.close.post({ mchid: known.mchid }, { out_trade_no }).then(status),
    refund: (refund) => pay.v3.refund.domestic.refunds.post(refund).then(data),
    query_refund: (out_refund_no) => pay.v3.refund.domestic.refunds.$out_refund_no$.get({ out_refund_no }).then(data),
    certificates: () => pay.v3.certificates.get().then(data),
    bill: async (params) => {
      const { download_url } = await pay.v3.bill.tradebill.get({ params }).then(data);
      const token = new URL(download_url).searchParams.get("token");
      const file = await pay.v3.billdownload.file.get({ params: { token }, responseType: "arraybuffer" }).then(data);
      return Buffer.from(params.tar_type ? zlib.gunzipSync(file) : file).toString("utf8");
    },
    believes: ({ timestamp, nonce, signature, serial, body }) =>
      Rsa.verify(Formatter.response(timestamp, nonce, body), signature, config.certs[serial]),
    open: ({ ciphertext, associated_data, nonce }) =>
      JSON.parse(Aes.AesGcm.decrypt(ciphertext, known.api_v3_key, nonce, associated_data)),
  };
}

exports.sdks = { tenpay, "wechatpay-node-v3": nodeV3, "wechatpay-axios-plugin": axiosPlugin };
