/** The Kubernetes version whose API Berth serves, with our mark; clients switch features on it. */
export const VERSION = 'v1.36.0+berth';
