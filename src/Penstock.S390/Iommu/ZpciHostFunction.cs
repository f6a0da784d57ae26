using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>The firmware's side of a function that is modelled in this process: it keeps the registration and counts refreshes.</summary>
/// <param name="function">The function.</param>
/// <param name="refreshesOnMap">See <see cref="IZpciHostFunction.RefreshesOnMap"/>.</param>
public sealed class ZpciHostFunction(ZpciFunction function, bool refreshesOnMap = false) : IZpciHostFunction
{
    private const byte InternalSharedMemory = 5;

    private readonly Lock _gate = new();
    private bool _registered;
    private ulong _iota;
    private long _refreshes;

    /// <summary>The function.</summary>
    public ZpciFunction Function => function;

    /// <inheritdoc/>
    public string Name => $"function 0x{function.Id:x}";

    /// <inheritdoc/>
    public IovaRange DmaWindow => new(function.Base.StartDma, function.Base.EndDma);

    /// <inheritdoc/>
    public bool RefreshesOnMap => refreshesOnMap;

    /// <inheritdoc/>
    public bool IsInternalSharedMemory => function.Base.FunctionType == InternalSharedMemory;

    /// <summary>The designation that is registered; null when DMA is blocked, 0 for no translation.</summary>
    public ulong? Iota
    {
        get
        {
            lock (_gate)
            {
                return _registered ? _iota : null;
            }
        }
    }

    /// <summary>Refreshes so far.</summary>
    public long Refreshes => Interlocked.Read(ref _refreshes);

    /// <inheritdoc/>
    public void LimitDma(ulong last) => function.LimitDma(last);

    /// <inheritdoc/>
    public ZpciAnswer RegisterIoat(ulong first, ulong last, ulong iota)
    {
        lock (_gate)
        {
            if (!function.IsEnabled)
            {
                return new ZpciAnswer(ZpciConditionCode.InvalidHandle);
            }

            if (_registered)
            {
                return new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.SequenceError);
            }

            _registered = true;
            _iota = iota;
            return ZpciAnswer.Done;
        }
    }

    /// <inheritdoc/>
    public ZpciAnswer DeregisterIoat()
    {
        lock (_gate)
        {
            bool was = _registered;
            _registered = false;
            return !function.IsEnabled ? new ZpciAnswer(ZpciConditionCode.InvalidHandle)
                : was ? ZpciAnswer.Done
                : new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.SequenceError);
        }
    }

    /// <inheritdoc/>
    public ZpciAnswer Refresh(ulong start, ulong length)
    {
        // The tables themselves are what DMA goes through: nothing of them is kept anywhere.
        Interlocked.Increment(ref _refreshes);
        return function.IsEnabled ? ZpciAnswer.Done : new ZpciAnswer(ZpciConditionCode.InvalidHandle);
    }
}
