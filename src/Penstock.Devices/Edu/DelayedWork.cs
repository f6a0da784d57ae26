using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Work that a register call starts and that is done later: on the strand, after the reply is out and the device's delay is over. At most
/// one is due at a time; what was cancelled is not done any more. All members are called on the strand.
/// </summary>
internal sealed class DelayedWork(Action work, TimeSpan delay, TimeProvider time) : IStrandWork
{
    private int _turn;
    private Action? _stopTimer;
    private bool _due;
    private bool _posted;

    internal void Start(Strand strand)
    {
        Cancel();
        _turn++;
        _due = true;
        if (delay != TimeSpan.Zero)
        {
            int turn = _turn;
            strand.Post(() => DelayAsync(strand, turn));
        }
        else if (!_posted)
        {
            _posted = true;
            strand.Post(this);
        }
    }

    internal void Cancel()
    {
        _due = false;
        _stopTimer?.Invoke();
        _stopTimer = null;
    }

    void IStrandWork.Run()
    {
        _posted = false;
        Do(_turn);
    }

    private async Task DelayAsync(Strand strand, int turn)
    {
        if (!_due || turn != _turn)
        {
            return;
        }

        // Not disposed, since it may be cancelled until the strand knows that the time is over; it holds nothing.
        var stopped = new CancellationTokenSource();
        _stopTimer = stopped.Cancel;
        await Task.Delay(delay, time, stopped.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!stopped.IsCancellationRequested)
        {
            strand.Post(() => Do(turn));
        }
    }

    private void Do(int turn)
    {
        if (_due && turn == _turn)
        {
            _due = false;
            work();
        }
    }
}
