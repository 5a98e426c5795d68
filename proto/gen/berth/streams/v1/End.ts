// Original file: proto/streams.proto


export interface End {
  'exit_code'?: (number);
  'error_kind'?: (string);
  'error_message'?: (string);
}

export interface End__Output {
  'exit_code': (number);
  'error_kind': (string);
  'error_message': (string);
}
