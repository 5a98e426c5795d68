// Original file: proto/agent.proto


export interface IssueTokenReply {
  'token'?: (string);
  'expires_in_seconds'?: (number);
}

export interface IssueTokenReply__Output {
  'token': (string);
  'expires_in_seconds': (number);
}
