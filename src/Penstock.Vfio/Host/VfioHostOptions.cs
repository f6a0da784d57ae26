using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Settings of a <see cref="VfioHost"/>, fixed when it is created.</summary>
public sealed class VfioHostOptions
{
    private readonly Action<string>? _log;

    /// <summary>Receives one line per noteworthy event. Called from any thread; must not block. One that throws is not called again.</summary>
    public Action<string>? Log
    {
        get => _log;
        init => _log = LogSink.Contain(value);
    }

    /// <summary>Limits of the mappings of users' files; null for the defaults.</summary>
    public MappingCacheOptions? Mappings { get; init; }

    /// <summary>Clock and timers.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>How long an unregistration waits between two requests to give the device back.</summary>
    public TimeSpan RequestInterval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Accept IOMMU units that do not isolate message signalled interrupts.</summary>
    public bool AllowUnsafeInterrupts { get; init; }

    /// <summary>Accept devices without an IOMMU, for users who may do raw I/O.</summary>
    public bool NoIommu { get; init; }

    /// <summary>How many mappings a type1 container may hold; read when the container gets its backend.</summary>
    public int MappingLimit { get; init; } = 65535;
}
