using System.Collections.Concurrent;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>The labs, each prepared once: the one for x86-64 guests first, others when a test wants them.</summary>
public sealed class GuestLab : IAsyncLifetime
{
    private readonly ConcurrentDictionary<GuestArchitecture, Task<VmLab>> _others = new();
    private VmLab? _lab;

    public VmLab Lab => _lab!;

    public Task<VmLab> OfAsync(GuestArchitecture architecture) =>
        architecture == GuestArchitecture.X86_64 ? Task.FromResult(Lab) : _others.GetOrAdd(architecture, a => VmLab.PrepareAsync(a));

    public async Task InitializeAsync() => _lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);

    public Task DisposeAsync() => Task.CompletedTask;
}
