namespace Penstock.Vfio;

/// <summary>Services in a slot: who offers them, and how many use them. The installation itself counts as one until it is withdrawn.</summary>
internal sealed class InstalledHook<T>(T hook)
    where T : class
{
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _count = 1;

    public T Hook { get; } = hook;

    public Task Drained => _drained.Task;

    public int Uses => Math.Max(Volatile.Read(ref _count) - (IsWithdrawn ? 0 : 1), 0);

    public bool IsWithdrawn { get; set; }

    public void Begin() => Interlocked.Increment(ref _count);

    public void End()
    {
        if (Interlocked.Decrement(ref _count) == 0)
        {
            _drained.SetResult();
        }
    }
}
