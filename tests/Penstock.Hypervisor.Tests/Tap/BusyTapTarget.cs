namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>A target whose first lending takes as long as the test wants.</summary>
internal sealed class BusyTapTarget : ITapTarget, IDisposable
{
    private readonly ManualResetEventSlim _busy = new();
    private readonly ManualResetEventSlim _goOn = new();

    public bool IsBusy => _busy.IsSet && !_goOn.IsSet;

    /// <summary>Losses that the tap's thread does not know of.</summary>
    public int Losses { get; private set; }

    public void AwaitBusy() => Assert.True(_busy.Wait(HypervisorRig.Patience));

    public void GoOn() => _goOn.Set();

    public string? Lend(RpcitPath path, IoatRegistration registration, TapChannel channel)
    {
        _busy.Set();
        _goOn.Wait();
        return null;
    }

    public void TakeBack()
    {
    }

    public RpcitAnswer Refresh(ulong start, ulong length) => RpcitAnswer.Done;

    public void DrainRing(uint from, uint until)
    {
    }

    public void Lose() => Losses++;

    public void EndLoss() => Losses--;

    // The events are left to the collector: the tap's thread may be about to look at them.
    public void Dispose() => GoOn();
}
