import { defaultCidrs } from '/work/main/cli/layout.ts';

for (let n = 280; n < 1000; n++)
  if (defaultCidrs(`tcli${n}`).clusterCidr === '10.174.0.0/16') {
    console.log(n);
    break;
  }
