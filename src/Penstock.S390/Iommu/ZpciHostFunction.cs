using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>The firmware's side of a function that is modelled in this process: the function itself keeps the registration, this counts refreshes.</summary>
/// <param name="function">The function.</param>
/// <param name="refreshesOnMap">See <see cref="IZpciHostFunction.RefreshesOnMap"/>.</param>
public sealed class ZpciHostFunction(ZpciFunction function, bool refreshesOnMap = false) : IZpciHostFunction
{
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
    public bool IsInternalSharedMemory => function.Base.FunctionType == ZpciClpQueryFunctionResponse.IsmFunction;

    /// <summary>The designation that is registered; null when DMA is blocked, 0 for no translation.</summary>
    public ulong? Iota => function.Iota;

    /// <summary>Refreshes so far.</summary>
    public long Refreshes => Interlocked.Read(ref _refreshes);

    /// <inheritdoc/>
    public void LimitDma(ulong last) => function.LimitDma(last);

    /// <inheritdoc/>
    public ZpciAnswer RegisterIoat(ulong first, ulong last, ulong iota) => function.RegisterIoat(first, last, iota);

    /// <inheritdoc/>
    public ZpciAnswer DeregisterIoat() => function.DeregisterIoat();

    /// <inheritdoc/>
    public ZpciAnswer Refresh(ulong start, ulong length)
    {
        // The tables themselves are what DMA goes through: nothing of them is kept anywhere.
        Interlocked.Increment(ref _refreshes);
        return function.IsEnabled ? ZpciAnswer.Done : new ZpciAnswer(ZpciConditionCode.InvalidHandle);
    }
}
