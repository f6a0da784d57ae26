namespace Penstock.S390.Tests.Firmware;

public sealed class DeliveryGateTests
{
    [Fact]
    public void Close_SomebodyIsInside_WaitsAndLetsNobodyIn()
    {
        var gate = new DeliveryGate();
        Assert.True(gate.TryEnter());
        int left = 0;
        bool leftBefore = false;
        var closer = new Thread(() =>
        {
            gate.Close();
            leftBefore = Volatile.Read(ref left) != 0;
        });
        closer.Start();
        Assert.True(SpinWait.SpinUntil(() => gate.IsClosed, TimeSpan.FromMinutes(2)));
        Assert.False(gate.TryEnter());
        Volatile.Write(ref left, 1);
        gate.Leave();
        closer.Join();
        Assert.True(leftBefore);
        gate.Close();
        Assert.False(gate.TryEnter());
    }
}
