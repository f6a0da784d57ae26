namespace Penstock.Vfio;

/// <summary>One field of a <see cref="DeviceStateTable"/>.</summary>
internal sealed record DeviceStateField(
    string Name,
    int Length,
    int Since,
    Action<Span<byte>> Save,
    Action<ReadOnlySpan<byte>> Load,
    Func<ReadOnlySpan<byte>, string?>? Check);
