using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>All jobs of a controller. Used on the strand; nothing is allocated after it was made.</summary>
internal sealed class NvmeJobPool
{
    private readonly NvmeJob[] _jobs;
    private readonly int[] _free;
    private int _freeCount;

    internal NvmeJobPool(int count, uint longestTransfer)
    {
        _jobs = new NvmeJob[count];
        _free = new int[count];
        for (int i = 0; i < count; i++)
        {
            _jobs[i] = new NvmeJob(i, longestTransfer);
            _free[_freeCount++] = count - 1 - i;
        }
    }

    internal ReadOnlySpan<NvmeJob> All => _jobs;

    internal int Free => _freeCount;

    internal NvmeJob this[int index] => _jobs[index];

    internal NvmeJob Take(NvmeSubmissionQueue queue, in NvmeCommand command, int epoch)
    {
        NvmeJob job = _jobs[_free[--_freeCount]];
        job.Command = command;
        job.Queue = queue;
        job.Epoch = epoch;
        job.Status = NvmeStatus.Success;
        job.Result = 0;
        job.Fused = null;
        job.MustRetry = false;
        job.State = NvmeJobState.Taken;
        return job;
    }

    internal void Return(NvmeJob job)
    {
        job.State = NvmeJobState.Free;
        job.Queue = null;
        job.Fused = null;
        _free[_freeCount++] = job.Index;
    }

    /// <summary>Gives back every job that the workers do not have.</summary>
    internal void ReturnAllButWorkers()
    {
        foreach (NvmeJob job in _jobs)
        {
            if (job.State is not (NvmeJobState.Free or NvmeJobState.Working))
            {
                Return(job);
            }
        }
    }
}
