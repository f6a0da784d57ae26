namespace Penstock.Devices;

/// <summary>How an <see cref="EduFunction"/> is made.</summary>
public sealed record EduOptions
{
    /// <summary>Fewest address bits that can be asked for: the buffer's 4 KiB.</summary>
    public const int FewestDmaBits = 12;

    /// <summary>Most address bits that can be asked for.</summary>
    public const int MostDmaBits = 64;

    /// <summary>How many address bits the DMA unit has; it cuts off what is above. QEMU's device has 28.</summary>
    public int DmaBits { get; init; } = 28;

    /// <summary>How long a factorial and a transfer take. Zero: until the access that started it has been answered.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>The clock for <see cref="Delay"/>.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
