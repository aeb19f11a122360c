import numpy as np
def mae(a,p): return np.abs(a-p).mean()
def rmse(a,p): return np.sqrt(((a-p)**2).mean())
def smape(a,p): return 200*np.mean(np.abs(a-p)/(np.abs(a)+np.abs(p)))
def r2(a,p): return 1-((a-p)**2).sum()/((a-a.mean())**2).sum()
