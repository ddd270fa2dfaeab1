// Class and method ids of AMQP 0-9-1 with RabbitMQ's extensions. A method is named by one number, its class id in the
// upper and its method id in the lower 16 bits, exactly as the first four bytes of its frame read.

export const CLASS_BASIC = 60;

export const METHOD = {
  connectionStart: 0x000a000a,
  connectionStartOk: 0x000a000b,
  connectionSecure: 0x000a0014,
  connectionSecureOk: 0x000a0015,
  connectionTune: 0x000a001e,
  connectionTuneOk: 0x000a001f,
  connectionOpen: 0x000a0028,
  connectionOpenOk: 0x000a0029,
  connectionClose: 0x000a0032,
  connectionCloseOk: 0x000a0033,
  connectionBlocked: 0x000a003c,
  connectionUnblocked: 0x000a003d,
  connectionUpdateSecret: 0x000a0046,
  connectionUpdateSecretOk: 0x000a0047,

  channelOpen: 0x0014000a,
  channelOpenOk: 0x0014000b,
  channelFlow: 0x00140014,
  channelFlowOk: 0x00140015,
  channelClose: 0x00140028,
  channelCloseOk: 0x00140029,

  exchangeDeclare: 0x0028000a,
  exchangeDeclareOk: 0x0028000b,
  exchangeDelete: 0x00280014,
  exchangeDeleteOk: 0x00280015,
  exchangeBind: 0x0028001e,
  exchangeBindOk: 0x0028001f,
  exchangeUnbind: 0x00280028,
  exchangeUnbindOk: 0x00280033,

  queueDeclare: 0x0032000a,
  queueDeclareOk: 0x0032000b,
  queueBind: 0x00320014,
  queueBindOk: 0x00320015,
  queuePurge: 0x0032001e,
  queuePurgeOk: 0x0032001f,
  queueDelete: 0x00320028,
  queueDeleteOk: 0x00320029,
  queueUnbind: 0x00320032,
  queueUnbindOk: 0x00320033,

  basicQos: 0x003c000a,
  basicQosOk: 0x003c000b,
  basicConsume: 0x003c0014,
  basicConsumeOk: 0x003c0015,
  basicCancel: 0x003c001e,
  basicCancelOk: 0x003c001f,
  basicPublish: 0x003c0028,
  basicReturn: 0x003c0032,
  basicDeliver: 0x003c003c,
  basicGet: 0x003c0046,
  basicGetOk: 0x003c0047,
  basicGetEmpty: 0x003c0048,
  basicAck: 0x003c0050,
  basicReject: 0x003c005a,
  basicRecoverAsync: 0x003c0064,
  basicRecover: 0x003c006e,
  basicRecoverOk: 0x003c006f,
  basicNack: 0x003c0078,

  confirmSelect: 0x0055000a,
  confirmSelectOk: 0x0055000b,

  txSelect: 0x005a000a,
  txSelectOk: 0x005a000b,
  txCommit: 0x005a0014,
  txCommitOk: 0x005a0015,
  txRollback: 0x005a001e,
  txRollbackOk: 0x005a001f,
} as const;

export type MethodId = (typeof METHOD)[keyof typeof METHOD];
