using System.Collections.Concurrent;
using Penstock.Devices;

namespace Penstock.Guests.Tests;

/// <summary>An EDU device on a socket of its own, with all that a test looks at on this side.</summary>
internal sealed class EduBench : DeviceBench
{
    public EduBench()
        : this(new EduFunction())
    {
    }

    private EduBench(EduFunction edu)
        : base(edu)
    {
        Edu = edu;
        Edu.Notice += Notices.Enqueue;
    }

    public EduFunction Edu { get; }

    /// <summary>What the device told the person who serves it.</summary>
    public ConcurrentQueue<string> Notices { get; } = new();

    /// <summary>Mappings in force, as the device's own address space counts them.</summary>
    public int LiveMaps => Assert.Single(Server.Host.Groups).Domain?.Count ?? 0;
}
