using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>The lab for x86-64 guests, prepared once.</summary>
public sealed class GuestLab : IAsyncLifetime
{
    private VmLab? _lab;

    public VmLab Lab => _lab!;

    public async Task InitializeAsync() => _lab = await VmLab.PrepareAsync(GuestArchitecture.X86_64);

    public Task DisposeAsync() => Task.CompletedTask;
}
