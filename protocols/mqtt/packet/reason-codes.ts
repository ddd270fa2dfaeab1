// The reason codes of MQTT 5 (§2.4) and what stands for them in the older versions.

export const REASON = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecified: 0x80,
  malformed: 0x81,
  protocolError: 0x82,
  implementationSpecific: 0x83,
  unsupportedVersion: 0x84,
  clientIdNotValid: 0x85,
  badCredentials: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  shuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdInUse: 0x91,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  qosNotSupported: 0x9b,
  useAnotherServer: 0x9c,
  serverMoved: 0x9d,
} as const;

export type Reason = (typeof REASON)[keyof typeof REASON];

/** From here on a reason is a failure. */
export const FIRST_FAILURE = 0x80;

/** CONNACK return codes of 3.1 and 3.1.1 (§3.2.2.3). */
export const CONNECT_CODE = {
  accepted: 0,
  unacceptableProtocol: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badCredentials: 4,
  notAuthorized: 5,
} as const;

export type ConnectCode = (typeof CONNECT_CODE)[keyof typeof CONNECT_CODE];

/** The return code of 3.1.1 for a refused CONNECT. */
export function connectCodeOf(reason: Reason): ConnectCode {
  switch (reason) {
    case REASON.success:
      return CONNECT_CODE.accepted;
    case REASON.unsupportedVersion:
      return CONNECT_CODE.unacceptableProtocol;
    case REASON.clientIdNotValid:
      return CONNECT_CODE.identifierRejected;
    case REASON.badCredentials:
    case REASON.badAuthenticationMethod:
      return CONNECT_CODE.badCredentials;
    case REASON.notAuthorized:
    case REASON.banned:
      return CONNECT_CODE.notAuthorized;
    default:
      return CONNECT_CODE.serverUnavailable;
  }
}
