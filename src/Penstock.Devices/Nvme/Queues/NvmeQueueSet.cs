namespace Penstock.Devices;

/// <summary>The queues that exist, by their identifiers; number 0 are the admin queues. Used on the strand.</summary>
internal sealed class NvmeQueueSet
{
    private readonly NvmeSubmissionQueue?[] _submissions;
    private readonly NvmeCompletionQueue?[] _completions;

    internal NvmeQueueSet(int ioQueues)
    {
        _submissions = new NvmeSubmissionQueue?[ioQueues + 1];
        _completions = new NvmeCompletionQueue?[ioQueues + 1];
    }

    /// <summary>One more than the highest identifier that exists.</summary>
    internal int End { get; private set; }

    /// <summary>Whether a queue beside the admin queues exists.</summary>
    internal bool HasIoQueues => End > 1;

    internal NvmeSubmissionQueue? Submission(int id) => (uint)id < (uint)_submissions.Length ? _submissions[id] : null;

    internal NvmeCompletionQueue? Completion(int id) => (uint)id < (uint)_completions.Length ? _completions[id] : null;

    internal void Add(NvmeSubmissionQueue queue)
    {
        _submissions[queue.Id] = queue;
        queue.Completions.Users++;
        FindEnd();
    }

    internal void Add(NvmeCompletionQueue queue)
    {
        _completions[queue.Id] = queue;
        FindEnd();
    }

    internal void Remove(NvmeSubmissionQueue queue)
    {
        _submissions[queue.Id] = null;
        queue.Completions.Users--;
        FindEnd();
    }

    internal void Remove(NvmeCompletionQueue queue)
    {
        _completions[queue.Id] = null;
        FindEnd();
    }

    internal void Clear()
    {
        Array.Clear(_submissions);
        Array.Clear(_completions);
        End = 0;
    }

    private void FindEnd()
    {
        End = _submissions.Length;
        while (End > 0 && _submissions[End - 1] is null && _completions[End - 1] is null)
        {
            End--;
        }
    }
}
